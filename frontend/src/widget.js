// The live what-if of a notebook: a question to the model at hand, and the page of its answer. For anywidget.
import "./widget.css";

const make = (tag, props = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
};

function render({ model, el }) {
  const steps = model.get("steps");
  const source = model.get("source");
  const input = model.get("input"); // "audio" or "image"; empty for a text
  const last = { audio: ["mute", "hear a part as silence"], image: ["cover", "see a part covered"] }[input] ?? ["source", "another source"];
  const kind = make("select", {}, make("option", { value: "target", textContent: "choose another word" }),
    make("option", { value: "weights", textContent: "look elsewhere" }), make("option", { value: last[0], textContent: last[1] }));
  if (!model.get("attends")) kind.options[1].remove();
  const step = make("select", {}, ...steps.map((token, index) => make("option", { value: index, textContent: `${index + 1}: ${token}` })));
  const token = make("input", { type: "text", placeholder: "a target word", size: 14 });
  const place = make("select", {}, make("option", { value: "uniform", textContent: "at all tokens equally" }),
    ...source.map((name, index) => make("option", { value: index, textContent: `only at ${index + 1}: ${name}` })));
  const [from, to] = [0, 1].map((value) => make("input", { type: "number", min: 0, step: 0.1, value, size: 5 }));
  const patch = make("select", {}, ...(input === "image" ? source : []).map((name, index) => make("option", { value: index, textContent: `${index + 1}: ${name}` })));
  const text = make("input", { type: "text", value: model.get("text"), size: 40 });
  const ask = make("button", { type: "submit", textContent: "Decode again" });
  const answer = make("p", { className: "answer" });
  answer.setAttribute("role", "status");
  const labels = {
    step: make("label", {}, "at step ", step),
    token: make("label", {}, "say ", token),
    place: make("label", {}, "look ", place),
    text: make("label", {}, "source ", text),
    mute: make("label", {}, "from ", from, " to ", to, " seconds"),
    cover: make("label", {}, "at ", patch),
  };
  const frame = make("iframe", { title: "Explanation of a translation" });
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  const form = make("form", {}, make("label", {}, "What if it had to ", kind), labels.step, labels.token, labels.place, labels.text, ask);

  const choose = () => {
    const shown = { target: ["step", "token"], weights: ["step", "place"], source: ["text"], mute: ["mute"], cover: ["cover"] }[kind.value];
    for (const [name, label] of Object.entries(labels)) label.hidden = !shown.includes(name);
  };
  const show = () => {
    frame.srcdoc = model.get("page");
  };
  const report = () => {
    ask.disabled = false;
    answer.textContent = model.get("answer");
  };
  kind.addEventListener("change", choose);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask.disabled = true;
    answer.textContent = "Decoding …";
    const weights = place.value === "uniform" ? "uniform" : Number(place.value);
    const part = { mute: [Number(from.value), Number(to.value)], cover: Number(patch.value) }[kind.value];
    model.send({ kind: kind.value, step: Number(step.value), token: token.value, weights, text: text.value, ...(part === undefined ? {} : { part }) });
  });
  model.on("change:page", show);
  model.on("msg:custom", report);
  choose();
  show();
  el.classList.add("attn-seq2seq-what-if");
  el.append(form, answer, frame);
  return () => {
    model.off("change:page", show);
    model.off("msg:custom", report);
  };
}

export default { render };

// The recording itself: one voice at a time, and a line on every spectrogram where it is.
import { h } from "../dom.js";

let playing = null; // {audio, until}

/** The element that holds the recording of a run; null where the page does not carry it. */
export const soundOf = (run) => (run.input?.kind === "audio" && run.input.media ? document.getElementById(run.input.media.element) : null);

function follow(audio, seconds) {
  const place = Math.min(1, audio.currentTime / seconds);
  for (const line of document.querySelectorAll(`[data-sound="${audio.id}"]`)) line.style.setProperty("--at", `${100 * place}%`);
  for (const button of document.querySelectorAll(`[data-listen="${audio.id}"]`)) {
    const on = playing?.audio === audio && String(playing.key) === button.getAttribute("data-part");
    button.setAttribute("aria-pressed", String(on));
    button.firstChild.textContent = on ? "■" : "▶";
  }
  document.body.classList.toggle("sounding", playing !== null);
  if (!playing) return;
  if (audio.ended || audio.paused || audio.currentTime >= playing.until) {
    audio.pause();
    playing = null;
  }
  requestAnimationFrame(() => follow(audio, seconds));
}

/** A button that plays a part of the recording, or stops it. */
export function listen(run, label, [from, to] = [0, run.input.seconds], key = "all") {
  const audio = soundOf(run);
  if (!audio) return null;
  const toggle = () => {
    const same = playing?.audio === audio && playing.key === key;
    if (playing) playing.audio.pause();
    playing = null;
    if (!same) {
      playing = { audio, until: to, key };
      audio.currentTime = from;
      audio.play().catch(() => (playing = null));
    }
    follow(audio, run.input.seconds);
  };
  return h(
    "button.option.listen",
    { type: "button", "aria-pressed": "false", "data-listen": audio.id, "data-part": key, "data-key": `listen ${audio.id} ${key}`, onclick: toggle },
    h("span.sign", { "aria-hidden": "true" }, "▶"),
    label,
  );
}

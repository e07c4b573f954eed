import { attention } from "./attention.js";
import { choiceAndStop } from "./choice.js";
import { embeddings } from "./embeddings.js";
import { encoder } from "./encoder.js";
import { handover } from "./handover.js";
import { loop } from "./loop.js";
import { frontEnd, received } from "./media.js";
import { newState } from "./new_state.js";
import { stepInput } from "./step_input.js";
import { tokens } from "./tokens.js";

/** What each chapter draws: `(app, view) => nodes`. */
export const FIGURES = {
  tokens: (app, view) => (view.run.input ? received : tokens)(app, view),
  embeddings: (app, view) => (view.run.input ? frontEnd : embeddings)(app, view),
  encoder,
  handover,
  step_input: stepInput,
  attention,
  state: newState,
  choice: choiceAndStop,
  loop,
};

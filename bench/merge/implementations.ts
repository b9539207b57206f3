// Everything that is measured, by the name that the tables give it.
import { crdtsTask, deltaTask } from "./counters.ts";
import { ownTask } from "./own.ts";
import { arrayTask, mapTask } from "./plain.ts";
import type { TaskMaker } from "./task.ts";
import { yjsTask } from "./yjs.ts";

export const IMPLEMENTATIONS: Readonly<Record<string, TaskMaker>> = {
  tidegate: ownTask,
  Float64Array: arrayTask,
  Map: mapTask,
  crdts: crdtsTask,
  "delta-crdts": deltaTask,
  yjs: yjsTask,
};

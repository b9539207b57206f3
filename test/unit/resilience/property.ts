// Property tests: a failing one prints its seed and its smallest counterexample, and fails again with
// them. The seed is fixed, so that a run of the checks does not depend on luck.

import * as fc from "fast-check";
import { it } from "vitest";

fc.configureGlobal({ seed: 20_260_101, numRuns: 300 });

export { fc };
export { it as test };

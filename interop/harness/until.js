/** Waiting for what will become true, with a deadline and a name for what was waited for. */

const PAUSE_MS = 100;

/**
 * Ask `probe` until it answers something truthy, and return that. A probe that throws has not answered yet; what it
 * last threw or answered is told when time runs out.
 */
export async function until(what, probe, { within = 40_000 } = {}) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      last = await probe();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`waited ${within} ms for ${what}; last seen: ${seen}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

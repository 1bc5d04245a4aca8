/**
 * As much of vitest as livekit-client's own `SignalClient.e2e.test.ts` uses, so that the file runs in a page as it was
 * published. `window.provided` is what the tests are given, and `window.runTests()` answers how each of them went.
 */

export const inject = (name) => window.provided[name];

const root = { name: "", hooks: { before: [], after: [] }, children: [] };
let group = root;

export function describe(name, define) {
  const mine = { name, hooks: { before: [], after: [] }, children: [] };
  group.children.push(mine);
  const outer = group;
  group = mine;
  define();
  group = outer;
}
/** Nothing is skipped here. */
describe.skipIf = () => describe;
describe.each = (cases) => (name, define) => {
  for (const one of cases) describe(name.replace(/\$(\w+)/g, (_, key) => one[key]), () => define(one));
};

export const it = (name, run) => group.children.push({ name, run });
export const beforeEach = (hook) => group.hooks.before.push(hook);
export const afterEach = (hook) => group.hooks.after.push(hook);

const shown = (value) => (value instanceof Error ? String(value) : JSON.stringify(value)) ?? String(value);
const must = (holds, value, what) => {
  if (!holds) throw new Error(`expected ${shown(value)} ${what}`);
};
export const expect = (value) => ({
  toBe: (other) => must(Object.is(value, other), value, `to be ${shown(other)}`),
  toBeTruthy: () => must(value, value, "to be truthy"),
  toBeGreaterThan: (other) => must(value > other, value, `to be greater than ${other}`),
  toContain: (part) => must(value.includes(part), value, `to contain ${shown(part)}`),
  toBeInstanceOf: (kind) => must(value instanceof kind, value, `to be a ${kind.name}`),
});

async function run({ children }, path, hooks, results) {
  for (const child of children) {
    const name = [...path, child.name].join(" > ");
    if (child.children) {
      const { before, after } = child.hooks;
      await run(child, [...path, child.name], { before: [...hooks.before, ...before], after: [...after, ...hooks.after] }, results);
      continue;
    }
    let error;
    try {
      for (const hook of hooks.before) await hook();
      await child.run();
    } catch (thrown) {
      error = String(thrown?.stack ?? thrown);
    }
    for (const hook of hooks.after) await hook();
    results.push({ name, error });
  }
  return results;
}

window.runTests = () => run(root, [], { before: [], after: [] }, []);

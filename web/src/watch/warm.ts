/** What is asked for with the page itself, so that nothing waits for anything else before the first picture. */

import { streamFromPath } from "./address";
import { askEarly } from "./live";
import { abilitiesOf, waysFor } from "./ways";

export function warm(): void {
  askEarly();
  const isStream = streamFromPath(location.pathname) !== undefined;
  if (isStream && waysFor(abilitiesOf(window))[0] === "flv") void import("mpegts.js").catch(() => undefined);
}

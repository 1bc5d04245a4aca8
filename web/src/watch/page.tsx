/** Draws the page: around a stream, or the list of those that are live. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ListPage } from "./ListPage";
import type { Stage } from "./stage";
import { WatchPage } from "./WatchPage";

export function draw(stage: Stage | undefined): void {
  const root = document.getElementById("root");
  if (root) createRoot(root).render(<StrictMode>{stage ? <WatchPage stage={stage} /> : <ListPage />}</StrictMode>);
}

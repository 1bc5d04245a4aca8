/**
 * The first script of a page to watch on. The picture comes first: the stream is asked for and shown before the rest of
 * the page is even loaded, which takes the browser longer than the stream does.
 */

import { streamFromPath } from "./address";
import { reached } from "./milestones";
import { Stage } from "./stage";
import "../ui/tokens.css";
import "../ui/base.css";
import "./watch.css";

/** The rest of the page is drawn by then, picture or not. */
const PATIENCE_MS = 1500;

function element(name: string, className: string, ...children: Element[]): Element {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

reached("begun");
const stream = streamFromPath(location.pathname);
const stage = stream && new Stage(stream);
if (stage) {
  // Where the page will have it.
  const place = element("section", "watch-stage");
  document.getElementById("root")?.append(element("main", "watch", element("header", "watch-head"), place));
  stage.enter(place);
  await Promise.race([stage.settled(), new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
}
const { draw } = await import("./page");
draw(stage);
reached("drawn");

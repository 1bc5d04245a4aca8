import { type ComponentType, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { warm } from "./watch/warm";
import "./ui/tokens.css";
import "./ui/base.css";

/** Who comes to watch need not fetch what a meeting needs, nor the other way round. */
async function page(): Promise<ComponentType> {
  if (/^\/watch(\/|$)/.test(location.pathname)) {
    const watch = import("./watch/Watch");
    warm();
    return (await watch).Watch;
  }
  return (await import("./App")).App;
}

const root = document.getElementById("root");
if (root) {
  const Page = await page();
  createRoot(root).render(
    <StrictMode>
      <Page />
    </StrictMode>,
  );
}

import { Check, Copy } from "lucide-react";
import { Fragment, useEffect, useState } from "react";
import { IconButton } from "../ui/Button";
import type { Addresses } from "./address";

const ROWS = [
  { key: "rtmp", name: "RTMP", hint: "VLC, ffplay; OBS publishes here" },
  { key: "flv", name: "HTTP-FLV", hint: "ffplay, mpegts.js" },
  { key: "hls", name: "HLS", hint: "Safari, phones, hls.js, VLC" },
  { key: "page", name: "This page", hint: "to share" },
] as const;

/** Where other players find the stream. */
export function AddressList({ at }: { at: Addresses }) {
  return (
    <section className="watch-addresses" aria-labelledby="addresses">
      <h2 id="addresses">Play it elsewhere</h2>
      <ul>
        {ROWS.map(({ key, name, hint }) => {
          const address = at[key];
          return address === undefined ? null : <Row key={key} name={name} hint={hint} address={address} />;
        })}
      </ul>
    </section>
  );
}

function Row({ name, hint, address }: { name: string; hint: string; address: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1600);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <li>
      <div className="watch-address-name">
        <strong>{name}</strong>
        <small>{hint}</small>
      </div>
      <code>
        {address.split(/(?<=\/)/).map((part, n) => (
          // Where there is no room for all of it, it goes on in the next line behind a slash.
          <Fragment key={n}>
            {part}
            <wbr />
          </Fragment>
        ))}
      </code>
      <IconButton size="s" label={copied ? "Copied" : `Copy the ${name} address`} onClick={() => void copy(address).then(setCopied)}>
        {copied ? <Check aria-hidden /> : <Copy aria-hidden />}
      </IconButton>
    </li>
  );
}

/** Whether it could: without TLS a page has no clipboard, and uses a selection as pages did before. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

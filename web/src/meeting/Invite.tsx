import { Check, Link2 } from "lucide-react";
import { useEffect, useState } from "react";
import { inviteLink } from "../route";
import { Button } from "../ui/Button";
import { useTell } from "../ui/Toasts";

/** Copies the link that brings others here. */
export function InviteButton({ room, wide = false }: { room: string; wide?: boolean }) {
  const [copied, setCopied] = useState(false);
  const tell = useTell();
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    const link = inviteLink(location.origin, room);
    try {
      await writeClipboard(link);
      setCopied(true);
    } catch {
      tell(`Copy this link yourself: ${link}`, "error");
    }
  };
  return (
    <Button wide={wide} className="invite" icon={copied ? <Check aria-hidden /> : <Link2 aria-hidden />} onClick={copy} aria-live="polite">
      {copied ? "Link copied" : "Copy link"}
    </Button>
  );
}

async function writeClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages without HTTPS have no clipboard object.
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("the browser refused to copy");
  return undefined;
}

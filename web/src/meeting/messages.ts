/** Chat messages as they are read: consecutive ones of one author together, addresses as links. */

interface Written {
  author: string;
  timestamp: number;
}

/** After a longer pause the name and the time are said again, in milliseconds. */
const PAUSE = 3 * 60_000;

export function gather<M extends Written>(messages: readonly M[]): M[][] {
  const groups: M[][] = [];
  for (const message of messages) {
    const group = groups[groups.length - 1];
    const before = group?.[group.length - 1];
    if (group && before && before.author === message.author && message.timestamp - before.timestamp < PAUSE) {
      group.push(message);
    } else {
      groups.push([message]);
    }
  }
  return groups;
}

export interface Part {
  text: string;
  href?: string;
}

/** A text cut at its web addresses. Only http and https become links: a chat must not carry `javascript:`. */
export function linksIn(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"]+/gi)) {
    const address = withoutTail(match[0]);
    if (!URL.canParse(address)) continue;
    if (match.index > at) parts.push({ text: text.slice(at, match.index) });
    parts.push({ text: address, href: address });
    at = match.index + address.length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** A full stop or bracket at the end belongs to the sentence, unless the bracket was opened in the address. */
function withoutTail(address: string): string {
  let end = address.length;
  while (end > 0) {
    const last = address.charAt(end - 1);
    const opened = last === ")" && address.slice(0, end).includes("(");
    if (opened || !/[.,;:!?)\]'’]/.test(last)) break;
    end -= 1;
  }
  return address.slice(0, end);
}

import type { ReceivedChatMessage } from "@livekit/components-react";
import { useLocalParticipant } from "@livekit/components-react";
import { MessagesSquare, SendHorizontal } from "lucide-react";
import { type KeyboardEvent, type SyntheticEvent, useEffect, useRef, useState } from "react";
import { IconButton } from "../ui/Button";
import { useTell } from "../ui/Toasts";
import { gather, linksIn } from "./messages";
import { Panel } from "./Panel";
import { nameOf } from "./useAnnouncements";
import "./chat.css";

interface ChatProps {
  messages: ReceivedChatMessage[];
  send: (text: string) => Promise<unknown>;
  onClose: () => void;
}

/** Longer messages belong in a document. */
const LONGEST = 4000;

export function Chat({ messages, send, onClose }: ChatProps) {
  const { localParticipant } = useLocalParticipant();
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Newer browsers return a promise, which an effect must not.
    void end.current?.scrollIntoView({ block: "end" });
  }, [messages.length]);
  const groups = gather(messages.map((message) => ({ ...message, author: message.from?.identity ?? "" })));
  return (
    <Panel title="Chat" onClose={onClose}>
      <div className="chat-log" role="log" aria-label="Messages" aria-live="polite">
        {groups.length === 0 && (
          <div className="chat-empty">
            <MessagesSquare aria-hidden />
            <p>Messages are seen by everybody in the meeting now, and by nobody afterwards.</p>
          </div>
        )}
        {groups.map((group) => {
          const first = group[0];
          if (!first) return null;
          const mine = first.from?.identity === localParticipant.identity;
          return (
            <div key={first.id} className={`chat-group ${mine ? "chat-mine" : ""}`}>
              <div className="chat-who">
                <strong>{mine ? "You" : nameOf(first.from)}</strong>
                <time dateTime={new Date(first.timestamp).toISOString()}>{clock.format(first.timestamp)}</time>
              </div>
              {group.map((message) => (
                <p key={message.id} className="chat-message">
                  {linksIn(message.message).map(({ text, href }, part) =>
                    href ? (
                      <a key={part} href={href} target="_blank" rel="noreferrer noopener">
                        {text}
                      </a>
                    ) : (
                      text
                    ),
                  )}
                </p>
              ))}
            </div>
          );
        })}
        <div ref={end} />
      </div>
      <Composer send={send} />
    </Panel>
  );
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

function Composer({ send }: { send: ChatProps["send"] }) {
  const [draft, setDraft] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const tell = useTell();
  useEffect(() => field.current?.focus(), []);

  const submit = async (event: SyntheticEvent) => {
    event.preventDefault();
    const text = draft.trim();
    if (!text) return;
    setDraft("");
    try {
      await send(text);
    } catch {
      // Nothing that was typed is lost: it goes back to where it was typed.
      setDraft((newer) => newer || text);
      tell("Your message could not be sent.", "error");
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) void submit(event);
  };

  return (
    <form className="chat-composer" onSubmit={submit}>
      <textarea
        ref={field}
        rows={1}
        aria-label="Message to everybody"
        placeholder="Message to everybody"
        maxLength={LONGEST}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <IconButton tone="accent" label="Send" disabled={!draft.trim()} onClick={submit}>
        <SendHorizontal />
      </IconButton>
    </form>
  );
}

import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import "./toasts.css";

interface Toast {
  id: number;
  text: string;
  tone: "plain" | "error";
}

type Tell = (text: string, tone?: Toast["tone"]) => void;

const TellContext = createContext<Tell>(() => undefined);

/** How long a toast stays, in milliseconds. Errors stay long enough to be read twice. */
const STAY = { plain: 4000, error: 9000 };
/** More than these at once would hide the people behind them. */
const AT_ONCE = 3;

export const useTell = (): Tell => useContext(TellContext);

export function ToastArea({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(0);
  const tell = useCallback<Tell>((text, tone = "plain") => {
    const id = next.current;
    next.current += 1;
    setToasts((shown) => [...shown.filter((toast) => toast.text !== text).slice(1 - AT_ONCE), { id, text, tone }]);
    setTimeout(() => setToasts((shown) => shown.filter((toast) => toast.id !== id)), STAY[tone]);
  }, []);
  const list = useMemo(
    () => (
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={`toast toast-${toast.tone}`}>
            {toast.text}
          </div>
        ))}
      </div>
    ),
    [toasts],
  );
  return (
    <TellContext.Provider value={tell}>
      {children}
      {list}
    </TellContext.Provider>
  );
}

import { Check } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import "./menu.css";

export interface MenuGroup {
  title: string;
  options: { id: string; label: string }[];
  chosen: string;
  onChoose: (id: string) => void;
}

/** A button that opens a list of choices above itself. Arrow keys move, Escape closes and gives the focus back. */
export function ChoiceMenu({
  label,
  groups,
  trigger,
  className = "",
  onOpen,
}: {
  label: string;
  groups: MenuGroup[];
  trigger: ReactNode;
  className?: string;
  onOpen?: () => void;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();

  useEffect(() => {
    if (!open) return undefined;
    items(root.current)
      .find((item) => item.ariaChecked === "true")
      ?.focus();
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  const close = () => {
    setOpen(false);
    root.current?.querySelector<HTMLElement>("[aria-haspopup]")?.focus();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const all = items(root.current);
    const at = all.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (step !== undefined) all[(at + step + all.length) % all.length]?.focus();
    else if (event.key === "Home") all[0]?.focus();
    else if (event.key === "End") all[all.length - 1]?.focus();
    else if (event.key === "Tab") return setOpen(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div className={`menu ${className}`} ref={root} onKeyDown={onKeyDown} role="presentation">
      <button
        type="button"
        className="menu-trigger"
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => {
          if (!open) onOpen?.();
          setOpen(!open);
        }}
      >
        {trigger}
      </button>
      {open && (
        <div className="menu-list" id={id} role="menu" aria-label={label}>
          {groups.map((group) => (
            <div key={group.title} role="group" aria-label={group.title}>
              <div className="menu-title" aria-hidden>
                {group.title}
              </div>
              {group.options.length === 0 && <div className="menu-empty">None found</div>}
              {group.options.map((option) => (
                <button
                  key={option.id}
                  type="button"
                  role="menuitemradio"
                  aria-checked={option.id === group.chosen}
                  tabIndex={-1}
                  className="menu-item"
                  onClick={() => {
                    group.onChoose(option.id);
                    close();
                  }}
                >
                  <Check aria-hidden />
                  <span>{option.label}</span>
                </button>
              ))}
            </div>
          ))}
        </div>
      )}
    </div>
  );
}

function items(root: HTMLElement | null): HTMLElement[] {
  return [...(root?.querySelectorAll<HTMLElement>('[role="menuitemradio"]') ?? [])];
}

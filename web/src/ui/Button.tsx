import type { ButtonHTMLAttributes, ReactNode } from "react";
import "./button.css";

type Tone = "accent" | "quiet" | "danger" | "plain";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  tone?: Tone;
  icon?: ReactNode;
  wide?: boolean;
}

export function Button({ tone = "quiet", icon, wide, className = "", children, type = "button", ...rest }: ButtonProps) {
  return (
    <button {...rest} type={type} className={`button button-${tone} ${wide ? "button-wide" : ""} ${className}`}>
      {icon}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** Said by screen readers and shown when hovered. */
  label: string;
  tone?: Tone | "off";
  size?: "s" | "m" | "l";
  /** A small number in the corner, for what has not been looked at. */
  badge?: number;
}

export function IconButton({ label, tone = "quiet", size = "m", badge, className = "", children, ...rest }: IconButtonProps) {
  return (
    <button
      {...rest}
      type="button"
      aria-label={badge ? `${label}, ${badge} new` : label}
      title={rest.title ?? label}
      className={`icon-button icon-button-${size} button-${tone} ${className}`}
    >
      {children}
      {badge ? <span className="badge">{badge > 99 ? "99+" : badge}</span> : null}
    </button>
  );
}

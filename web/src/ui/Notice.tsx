import type { ReactNode } from "react";
import { Info, TriangleAlert } from "lucide-react";
import "./notice.css";

/** Something that went wrong or needs doing, in plain words. */
export function Notice({ title, children, tone = "warn" }: { title: string; children?: ReactNode; tone?: "warn" | "error" | "info" }) {
  const Mark = tone === "info" ? Info : TriangleAlert;
  return (
    <div className={`notice notice-${tone}`} role={tone === "error" ? "alert" : "status"}>
      <Mark aria-hidden />
      <div>
        <strong>{title}</strong>
        {children && <p>{children}</p>}
      </div>
    </div>
  );
}

/** Water running over a mill wheel: three waves, the deepest darkest. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden>
      <rect width="32" height="32" rx="9" fill="#0f2a2e" />
      <g strokeWidth="2.6" strokeLinecap="round">
        <path d="M6 13c3.3 0 3.3-3 6.7-3s3.3 3 6.6 3 3.4-3 6.7-3" stroke="#7ff0e0" />
        <path d="M6 18.5c3.3 0 3.3-3 6.7-3s3.3 3 6.6 3 3.4-3 6.7-3" stroke="#3bd4c4" />
        <path d="M6 24c3.3 0 3.3-3 6.7-3s3.3 3 6.6 3 3.4-3 6.7-3" stroke="#1f9f9a" />
      </g>
    </svg>
  );
}

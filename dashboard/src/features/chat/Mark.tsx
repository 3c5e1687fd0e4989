/** The product's sign, in the accent of the current theme. */
export const Mark = () => (
  <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
    <path
      className="mark-bubble"
      d="M9 4h14a6 6 0 0 1 6 6v9a6 6 0 0 1-6 6h-7.2l-5.6 4.4A1 1 0 0 1 8.6 28.6V25A6 6 0 0 1 3 19v-9a6 6 0 0 1 6-6z"
    />
    <path className="mark-letter" d="M9.5 18.5v-7.5l6.5 5 6.5-5v7.5" />
  </svg>
);

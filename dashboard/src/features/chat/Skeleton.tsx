/** Lines in place of text to come. The style shows them only after a moment: what is quick should not flicker. */
export const Skeleton = ({ label }: { label: string }) => (
  <div className="skeleton late" role="img" aria-label={label}>
    <i />
    <i />
    <i />
  </div>
);

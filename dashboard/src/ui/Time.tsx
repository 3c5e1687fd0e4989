import { useTranslation } from "react-i18next";

/** Time of day, with the date unless it is today's; the exact moment and its zone on hover. */
export function Time({ at }: { at: string }) {
  const { i18n } = useTranslation();
  const moment = new Date(at);
  const today = moment.toDateString() === new Date().toDateString();
  const short: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hour12: false };
  const text = moment.toLocaleString(
    i18n.language,
    today ? short : { month: "short", day: "numeric", ...short },
  );
  const exact = moment.toLocaleString(i18n.language, { dateStyle: "full", timeStyle: "long" });
  return (
    <time dateTime={at} title={exact} className="time">
      {text}
    </time>
  );
}

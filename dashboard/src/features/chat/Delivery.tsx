import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { outbox } from "./chat";
import type { Unsent } from "./outbox";

/** What has become of a message that the gateway does not have. */
export function Delivery({ unsent }: { unsent: Unsent }) {
  const { t } = useTranslation();
  if (unsent.problem === undefined) return <p className="delivery late">{t("message.unsent")}</p>;
  return (
    <p className="delivery error" role="alert">
      {t("message.rejected", { reason: unsent.problem })}
      <Button size="small" onClick={() => outbox.retry(unsent.clientId)}>
        {t("message.again")}
      </Button>
      <Button size="small" type="text" onClick={() => outbox.drop((one) => one.clientId === unsent.clientId)}>
        {t("message.discard")}
      </Button>
    </p>
  );
}

-- What retention has still to let go of is found without reading what is gone already.
CREATE INDEX inbox_texts ON inbox (received_at) WHERE text IS NOT NULL;

-- The assistant that a message asks for by name; NULL lets the routes decide.
ALTER TABLE inbox ADD COLUMN assistant TEXT;

ALTER TABLE users ADD COLUMN email_key text;
CREATE FUNCTION users_email_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_key := lower(NEW.email);
    RETURN NEW;
END
$$;
CREATE TRIGGER users_email_key BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_email_key();

-- A database with something of everything that the sqlite3 shell's .dump writes.
CREATE TABLE "user" (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	"Full Name" TEXT NOT NULL DEFAULT 'semi;colon',
	[select] TEXT, -- a comment; with a semicolon and a ' quote
	`group` BLOB /* and another; */,
	n NUMERIC CHECK (n <> ';'),
	favourite INTEGER REFERENCES lines (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE lines (
	id INTEGER PRIMARY KEY,
	owner INTEGER NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
	net REAL,
	gross REAL GENERATED ALWAYS AS (net * 1.2) STORED,
	label TEXT AS ('a;b' || net) VIRTUAL
);
CREATE TABLE pairs (a TEXT, b INTEGER, c ANY, PRIMARY KEY (a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE "odd "" name;" ("column ; one" TEXT COLLATE NOCASE, "x" DEFAULT (1 + 2), d DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE [Größe 🦆] (id INTEGER PRIMARY KEY, text);
CREATE TABLE empty_one (id INTEGER PRIMARY KEY AUTOINCREMENT, x);
CREATE INDEX "user n;" ON "user" (n DESC, lower("Full Name")) WHERE n IS NOT NULL AND "select" <> ';';
CREATE UNIQUE INDEX pairs_c ON pairs (c);

INSERT INTO "user" VALUES
	(1, 'O''Brien; DROP', 'tab	here', x'00ff00275c3b0a', 1, NULL),
	(2, 'back\slash', NULL, 'text in a blob column', 9223372036854775807, NULL),
	(40, 'two
lines', 'carriage' || char(13, 10) || 'return', x'', 1e300, NULL),
	(41, '', 'emoji 🦆 and 漢字', NULL, 0.1, NULL);
INSERT INTO lines (id, owner, net) VALUES (1, 1, 10.25), (2, 40, NULL), (3, 2, -1e-9);
UPDATE "user" SET favourite = 2 WHERE id = 1;
INSERT INTO pairs VALUES ('a;b', 1, x'ff'), ('a;b', 2, 'text'), ('', -1, 3.5), ('it''s', 0, NULL);
INSERT INTO "odd "" name;" VALUES ('x', 9e999, '2024-02-29'), ('y', -9e999, NULL);
INSERT INTO [Größe 🦆] VALUES (1, 'ß'), (2, x'c328');
DELETE FROM "user" WHERE id = 41;

CREATE VIEW names AS SELECT id, "Full Name" AS name, ';' AS semi FROM "user";
CREATE VIEW later (number, text) AS SELECT id, CASE WHEN name = '' THEN 'none;' ELSE name END FROM names;
CREATE TRIGGER "stamp; it" AFTER INSERT ON lines WHEN NEW.net > 0 BEGIN
	-- a comment; in the body
	UPDATE "user" SET n = CASE WHEN n IS NULL THEN 1 ELSE n + 1 END WHERE id = NEW.owner;
	INSERT INTO pairs VALUES ('trigger; end', NEW.id, NULL);
END;
CREATE TRIGGER through INSTEAD OF UPDATE OF name ON names FOR EACH ROW BEGIN
	SELECT RAISE(ABORT, 'not; here') WHERE NEW.name = 'END';
	UPDATE "user" SET "Full Name" = NEW.name WHERE id = OLD.id;
END;

CREATE VIRTUAL TABLE words USING fts4 (title, body, tokenize=porter);
INSERT INTO words VALUES ('one; two', 'the quick brown fox'), ('it''s', 'running; runners run');
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1);
INSERT INTO boxes VALUES (1, 0.5, 1.5), (2, -3, 4);
ANALYZE;

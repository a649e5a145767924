-- RedefineTables
PRAGMA defer_foreign_keys=ON;
PRAGMA foreign_keys=OFF;
CREATE TABLE "new_a" ("x" INTEGER NOT NULL);
INSERT INTO "new_a" ("x") SELECT "x" FROM "a";
DROP TABLE "a";
ALTER TABLE "new_a" RENAME TO "a";
PRAGMA foreign_keys=ON;
PRAGMA defer_foreign_keys=OFF;

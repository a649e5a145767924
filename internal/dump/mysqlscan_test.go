package dump

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// dumpText has what a scanner can trip over.
const dumpText = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n-- Host: it's    Database: `x`\n" +
	"/*!40101 SET @OLD=@@X */;\nCREATE TABLE `it's ``a``;` (\n  `id` int COMMENT 'INSERT INTO `x` VALUES (1);' -- no; end\n);\n" +
	"INSERT INTO `it's ``a``;` (`id`, `(`) VALUES\n(1,'a'),\n(2,'),(''\\'\\\\'),(3,0x29,NULL,_binary '\x00(\xff'),(-4,'\\\\');\n" +
	"INSERT INTO `plain` VALUES (1,(2)),(3);\nINSERT INTO `plain` VALUES (4);\n" +
	"/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a`*/;\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`CREATE TABLE`@`%` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select ';' */;\n" +
	"/*!50003 SET sql_mode              = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\nCREATE DEFINER=\"u\"@\"%\" PROCEDURE \"p;\"()\nBEGIN\nSELECT '\\';\n-- it's\nINSERT INTO `plain` VALUES (5),(6);\n# don't\n/* it's */ SELECT 1--1;\nEND ;;\nDELIMITER ;\n" +
	"/*!50003 SET sql_mode              = @saved_sql_mode */ ;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`u`@`%`*/ /*!50003 TRIGGER db.g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1; */;;\n" +
	"/*!50106 CREATE*/ /*!50117 DEFINER=`u`@`%`*/ /*!50106 EVENT IF NOT EXISTS `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1;  */ ;;\nDELIMITER ;\n" +
	"CREATE DEFINER=`u`@`%` PACKAGE BODY `k` AS x;\n-- Dump completed on 2026-11-23 12:00:00\n"

func scanned2text(s *dumpScanner) string {
	var list []string
	for name, t := range s.tables {
		list = append(list, fmt.Sprintf("%s: %d %s", name, t.rows, t.digest()))
	}
	for o := range s.objects {
		list = append(list, o.kind+" "+o.name)
	}
	slices.Sort(list)
	return fmt.Sprintf("%s\nwhole %t, line %d", strings.Join(list, "\n"), s.whole(), s.line)
}

// TestScanner: rows and objects are found, wherever the parts of the stream end.
func TestScanner(t *testing.T) {
	t.Parallel()
	s := newDumpScanner(true)
	_, _ = s.Write([]byte(dumpText))
	whole := scanned2text(s)
	for _, want := range []string{
		"it's `a`;: 4 dump:", "plain: 3 dump:", "event e\n", "package body k\n", "procedure p;\n", "table it's `a`;\n", "trigger g\n", "view v\n",
		fmt.Sprintf("whole true, line %d", strings.Count(dumpText, "\n")+1),
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("no %q in\n%s", want, whole)
		}
	}
	if strings.Count(whole, "\n") != 8 {
		t.Errorf("%s", whole)
	}
	for i := range len(dumpText) {
		for _, step := range []int{1, 7} {
			s := newDumpScanner(true)
			_, _ = s.Write([]byte(dumpText[:i]))
			for rest := dumpText[i:]; rest != ""; rest = rest[min(step, len(rest)):] {
				_, _ = s.Write([]byte(rest[:min(step, len(rest))]))
			}
			if got := scanned2text(s); got != whole {
				t.Fatalf("in parts from %d on:\n%s\nand not\n%s", i, got, whole)
			}
		}
	}
	cut := newDumpScanner(false)
	_, _ = cut.Write([]byte(dumpText[:len(dumpText)-45]))
	if cut.whole() {
		t.Error("a dump without its end is whole")
	}
}

// TestScannerOrder: a digest does not depend on the order of the rows or on how they
// are spread over statements, and does on how often each is there.
func TestScannerOrder(t *testing.T) {
	t.Parallel()
	of := func(text string) string {
		s := newDumpScanner(true)
		_, _ = s.Write([]byte(text))
		return s.tables["t"].digest()
	}
	a := of("INSERT INTO `t` VALUES (1,'a'),(2,'b');")
	if b := of("INSERT INTO `t` VALUES\n(2,'b');\nINSERT INTO `t` VALUES\n(1,'a');"); a != b {
		t.Errorf("%s and %s", a, b)
	}
	seen := map[string]bool{a: true}
	for _, other := range []string{"(1,'a'),(2,'c')", "(1,'a'),(2,'b'),(2,'b')", "(1,'a'),(2,'b'),(1,'a'),(2,'b')", "(1,'a')", "(1,'b'),(2,'a')"} {
		if d := of("INSERT INTO `t` VALUES " + other + ";"); seen[d] {
			t.Errorf("%s has the digest of another", other)
		} else {
			seen[d] = true
		}
	}
}

// FuzzScanner: the parts in which a stream comes do not matter, and texts in rows
// are never read.
func FuzzScanner(f *testing.F) {
	f.Add(dumpText, 3)
	f.Add("INSERT INTO `t` VALUES ('it''s;(');", 1)
	f.Fuzz(func(t *testing.T, text string, step int) {
		step = max(1, step%64)
		whole := newDumpScanner(true)
		_, _ = whole.Write([]byte(text))
		parts := newDumpScanner(true)
		for rest := []byte(text); len(rest) > 0; rest = rest[min(step, len(rest)):] {
			_, _ = parts.Write(rest[:min(step, len(rest))])
		}
		// What the last bytes mean is not known to either.
		if a, b := scanned2text(whole), scanned2text(parts); a != b {
			t.Errorf("at once:\n%s\nin parts:\n%s", a, b)
		}
		quoted := strings.NewReplacer("\\", "\\\\", "'", "\\'", "\n", "\\n", "\x00", "\\0").Replace(text)
		s := newDumpScanner(false)
		_, _ = s.Write([]byte("INSERT INTO `t` VALUES (1,'" + quoted + "'),('" + quoted + "',NULL);\nCREATE TABLE `u` (\n"))
		_, _ = s.Write([]byte("`a` text COMMENT '" + quoted + "');\n\n\n\n"))
		if s.tables["t"].rows != 2 || !s.objects[mysqlObject{"table", "u"}] {
			t.Errorf("%q: %s", text, scanned2text(s))
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	words := strings.Repeat("lorem ipsum dolor ", 8)
	for name, row := range map[string]string{
		"numbers": "(12345,67890,1.5,NULL,'2026-11-23 12:00:00'),\n",
		"text":    "(12345,'" + words + "','it\\'s " + words + "'),\n",
		"hex":     "(1,0x" + strings.Repeat("89504E47", 500) + "),\n",
	} {
		chunk := []byte(strings.Repeat(row, 32<<10/len(row)+1))
		for _, digests := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/digests=%t", name, digests), func(b *testing.B) {
				s := newDumpScanner(digests)
				_, _ = s.Write([]byte("INSERT INTO `t` VALUES\n"))
				b.SetBytes(int64(len(chunk)))
				for b.Loop() {
					_, _ = s.Write(chunk)
				}
			})
		}
	}
}

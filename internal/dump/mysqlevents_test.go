package dump

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// eventText is a dump with events, and with what looks like their beginning or end.
const (
	eventText = "-- MariaDB dump\n--\nINSERT INTO `t` VALUES ('\n-- Dumping events for database `x`\n');\nDELIMITER ;;\nCREATE PROCEDURE `p`()\nBEGIN\n-- Dumping events for database `x`\nSELECT 1;\nEND ;;\nDELIMITER ;\n" +
		"--\n" + eventPart + eventRest
	eventPart = "-- Dumping events for database 'x'\n--\n/*!50106 SET @save_time_zone= @@TIME_ZONE */ ;\nDELIMITER ;;\n" +
		"/*!50106 CREATE*/ /*!50117 DEFINER=`EVENT`@`%`*/ /*!50106 EVENT `a``PRESERVE ENABLE` ON SCHEDULE EVERY '1:1' HOUR_MINUTE STARTS '2037-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE COMMENT 'PRESERVE ENABLE' DO BEGIN\n-- Dumping routines for database\n" +
		"/*!50106 CREATE*/ /*!50106 EVENT `c` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE ENABLE */\nEND */ ;;\n" +
		"/*!50106 CREATE*/ /*!50117 DEFINER=`u`@`%`*/ /*!50106 EVENT `b` ON SCHEDULE AT '2037-01-01 00:00:00' ON COMPLETION NOT PRESERVE DISABLE ON SLAVE DO SELECT 'ON COMPLETION PRESERVE ENABLE' */ ;;\n" +
		"DELIMITER ;\n/*!50106 SET TIME_ZONE= @save_time_zone */ ;\n\n--\n"
	eventRest = "-- Dumping routines for database 'x'\n--\n/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a`*/;\n-- Dump completed on 2026-11-23 12:00:00\n"
)

// TestEventsAreHeld: what makes events does not reach the client, all else does, and
// lines have their numbers.
func TestEventsAreHeld(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]io.Reader{"at once": strings.NewReader(eventText), "byte by byte": iotest.OneByteReader(strings.NewReader(eventText))} {
		scan := newDumpScanner(false)
		scan.mend = true
		given, err := io.ReadAll(&scannedReader{r: r, scan: scan})
		if err != nil {
			t.Fatal(err)
		}
		blank := strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, eventPart)
		if want := strings.Replace(eventText, eventPart, blank, 1); string(given) != want {
			t.Errorf("%s: the client gets\n%s", name, given)
		}
		if string(scan.events) != eventPart {
			t.Errorf("%s: held back:\n%s", name, scan.events)
		}
		disabled, events, err := asleep(string(scan.events), scan.objects)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(eventPart, " ENABLE COMMENT", " DISABLE COMMENT", 1); disabled != want {
			t.Errorf("%s: disabled:\n%s", name, disabled)
		}
		if !slices.Equal(events.names, []string{"`a``PRESERVE ENABLE`", "`b`"}) || !slices.Equal(events.Enabled, []string{"a`PRESERVE ENABLE"}) {
			t.Errorf("%s: %q", name, events)
		}
	}
	if _, _, err := asleep(eventPart, map[mysqlObject]bool{{"event", "z"}: true}); err == nil || !strings.Contains(err.Error(), "the event z") {
		t.Errorf("an event that stands elsewhere: %v", err)
	}
}

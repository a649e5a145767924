console.log("backfill");

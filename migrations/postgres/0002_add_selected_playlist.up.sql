ALTER TABLE "user" ADD COLUMN selected_playlist_id VARCHAR(100);

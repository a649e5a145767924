ALTER TABLE user DROP COLUMN selected_playlist_id;

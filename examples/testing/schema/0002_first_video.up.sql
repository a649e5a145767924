INSERT INTO video (youtube_id, title, seconds) VALUES ('dQw4w9WgXcQ', 'Never Gonna Give You Up', 213);

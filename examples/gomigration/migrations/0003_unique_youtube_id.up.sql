-- Only possible when 0002, which is written in Go, has filled the column.
CREATE UNIQUE INDEX video_youtube_id ON video (youtube_id);

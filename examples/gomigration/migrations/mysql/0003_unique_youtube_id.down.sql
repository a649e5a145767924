-- Here an index has its name within its table; the other dialects use the file
-- of this name in the folder above.
DROP INDEX video_youtube_id ON video;

DROP INDEX video_youtube_id;

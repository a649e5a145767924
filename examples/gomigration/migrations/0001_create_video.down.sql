DROP TABLE video;

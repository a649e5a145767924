CREATE TABLE video (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    youtube_id varchar(20) NOT NULL UNIQUE,
    title varchar(200) NOT NULL,
    seconds integer NOT NULL CHECK (seconds > 0)
);

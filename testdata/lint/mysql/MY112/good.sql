CREATE TABLE parcel_flags (parcel_id bigint NOT NULL, flag varchar(20) NOT NULL, PRIMARY KEY (parcel_id, flag));

ALTER TABLE parcels MODIFY size enum('small', 'large', 'big') NOT NULL;
UPDATE parcels SET size = 'big' WHERE size = 'large' AND id <= 10000;

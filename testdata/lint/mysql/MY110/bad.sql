ALTER TABLE parcels MODIFY size enum('small', 'big') NOT NULL; -- expect: MY110 error

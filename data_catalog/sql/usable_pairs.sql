-- The pairs of a set whose two faces are usable, under the role of their video.
SELECT DISTINCT
    bases.role, bases.video_key, pairs.video_sha256, pairs.track_id, pairs.base_id, pairs.partner_id
FROM pairs
JOIN usable_faces AS bases ON bases.face_id = pairs.base_id
JOIN usable_faces AS partners
    ON partners.face_id = pairs.partner_id
    AND partners.video_key = bases.video_key
    AND partners.role = bases.role
WHERE pairs.pair_set = $pair_set
ORDER BY bases.role, bases.video_key, pairs.track_id, pairs.base_id, pairs.partner_id

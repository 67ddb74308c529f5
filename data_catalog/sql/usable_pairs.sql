-- The pairs of a set whose two faces are usable, under the role of their video.
SELECT bases.role, pairs.video_key, pairs.base_id, pairs.partner_id
FROM pairs
JOIN usable_faces AS bases ON bases.face_id = pairs.base_id AND bases.video_key = pairs.video_key
JOIN usable_faces AS partners
    ON partners.face_id = pairs.partner_id
    AND partners.video_key = pairs.video_key
    AND partners.role = bases.role
WHERE pairs.pair_set = $pair_set
ORDER BY bases.role, pairs.video_key, pairs.base_id, pairs.partner_id

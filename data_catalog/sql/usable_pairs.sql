-- The pairs of a set whose two faces are usable, under the role of the judged video. Pairs across videos are drawn for
-- each role, into a set of its own: set/role.
SELECT DISTINCT
    bases.role,
    bases.video_key,
    pairs.video_sha256,
    pairs.track_id,
    pairs.base_id,
    pairs.partner_id,
    partners.video_sha256 AS partner_sha256
FROM pairs
JOIN usable_faces AS bases ON bases.face_id = pairs.base_id
JOIN usable_faces AS partners
    ON partners.face_id = pairs.partner_id
    AND partners.role = bases.role
    AND (pairs.relation <> 'same_video' OR partners.video_key = bases.video_key)
WHERE pairs.pair_set IN ($pair_set, $pair_set || '/' || bases.role)
ORDER BY bases.role, bases.video_key, pairs.track_id, pairs.base_id, pairs.partner_id

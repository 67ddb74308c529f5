-- The pairs of a set whose two faces are usable, under the role of the judged video. Pairs across videos are drawn for
-- each role, into a set of its own: set/role.
-- One step after the other: left to itself the planner may join the faces of a role with each other first, and a few
-- thousand of them then take all memory.
WITH drawn AS MATERIALIZED (
    SELECT pair_set, relation, video_sha256, track_id, base_id, partner_id
    FROM pairs
    WHERE pair_set = $pair_set OR starts_with(pair_set, $pair_set || '/')
),

judged AS MATERIALIZED (
    SELECT drawn.*, bases.role, bases.video_key
    FROM drawn
    JOIN usable_faces AS bases ON bases.face_id = drawn.base_id
    WHERE drawn.pair_set IN ($pair_set, $pair_set || '/' || bases.role)
)

SELECT DISTINCT
    judged.role,
    judged.video_key,
    judged.video_sha256,
    judged.track_id,
    judged.base_id,
    judged.partner_id,
    partners.video_sha256 AS partner_sha256
FROM judged
JOIN usable_faces AS partners
    ON partners.face_id = judged.partner_id
    AND partners.role = judged.role
    AND (judged.relation <> 'same_video' OR partners.video_key = judged.video_key)
ORDER BY judged.role, judged.video_key, judged.track_id, judged.base_id, judged.partner_id

-- Every two members of a group, for many groups at once: the reference rule of draw_pairs where draw is all.
-- Reads candidate_faces(group_key VARCHAR, face_id VARCHAR), face_id unique within its group.
SELECT
    bases.group_key AS group_key,
    bases.face_id AS base_id,
    partners.face_id AS partner_id
FROM candidate_faces AS bases
INNER JOIN candidate_faces AS partners
    ON bases.group_key = partners.group_key AND bases.face_id < partners.face_id
ORDER BY bases.group_key, bases.face_id, partners.face_id;

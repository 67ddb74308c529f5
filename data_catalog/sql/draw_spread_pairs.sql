-- Members of a group that lie an eighth, a quarter, three eighths and half of it apart, its end followed by its start,
-- for many groups at once: the reference rule of draw_pairs where draw is spread. The base is the earlier one.
-- Reads candidate_faces(group_key VARCHAR, face_id VARCHAR, frame_index INTEGER), face_id unique within its group.
WITH placed AS (
    SELECT
        group_key,
        face_id,
        row_number() OVER (PARTITION BY group_key ORDER BY frame_index, face_id) AS place,
        count(*) OVER (PARTITION BY group_key) AS members
    FROM candidate_faces
)

SELECT
    bases.group_key AS group_key,
    bases.face_id AS base_id,
    partners.face_id AS partner_id
FROM placed AS bases
INNER JOIN placed AS partners
    ON bases.group_key = partners.group_key
    AND bases.place < partners.place
    AND least(partners.place - bases.place, bases.members - (partners.place - bases.place)) IN (
        greatest(1, bases.members // 8),
        greatest(1, bases.members * 2 // 8),
        greatest(1, bases.members * 3 // 8),
        greatest(1, bases.members * 4 // 8)
    )
ORDER BY bases.group_key, bases.face_id, partners.face_id;

-- The usable faces of videos of which no face is in a pair of this set; ready for draw_pairs.
WITH candidates AS (
    SELECT DISTINCT video_key, face_id FROM usable_faces
),
drawn AS (
    SELECT video_key, base_id AS face_id FROM pairs WHERE pair_set = $pair_set
    UNION
    SELECT video_key, partner_id AS face_id FROM pairs WHERE pair_set = $pair_set
),
done AS (
    SELECT DISTINCT candidates.video_key
    FROM candidates
    JOIN drawn ON drawn.video_key = candidates.video_key AND drawn.face_id = candidates.face_id
)
SELECT candidates.video_key AS group_key, candidates.face_id
FROM candidates
ANTI JOIN done ON done.video_key = candidates.video_key
ORDER BY group_key, candidates.face_id

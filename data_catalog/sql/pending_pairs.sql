-- The usable faces of people of whom no face is in a pair of this set; ready for draw_pairs. A group is a person of a
-- video: content/track.
WITH candidates AS (
    SELECT DISTINCT video_sha256, track_id, face_id, frame_index FROM usable_faces
),
done AS (
    SELECT DISTINCT candidates.video_sha256, candidates.track_id
    FROM candidates
    JOIN pairs ON pairs.base_id = candidates.face_id
    WHERE pairs.pair_set = $pair_set
)
SELECT candidates.video_sha256 || '/' || candidates.track_id AS group_key, candidates.face_id, candidates.frame_index
FROM candidates
ANTI JOIN done ON done.video_sha256 = candidates.video_sha256 AND done.track_id = candidates.track_id
ORDER BY group_key, candidates.face_id

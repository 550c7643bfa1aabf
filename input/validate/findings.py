"""What a check of a data set can find: how bad each is, and what to do about it."""

import dataclasses

LEVELS = ('error', 'warning', 'note')


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
      level: 'error' (training stops at it, or its figures cannot be believed),
        'warning' (training goes on, worse than need be) or 'note'.
      title: what it is, in the plural.
      advice: what to do.
    """

    level: str
    title: str
    advice: str


_AGAIN = 'get the files again, or remove them'

#: name -> `Kind`, the worst first; also the order of a report.
KINDS = {
    'refused': Kind('error', 'What training would refuse', 'mend what it says'),
    'layout': Kind('error', 'Folders that cannot be told apart', 'rename or move them'),
    'damaged_file': Kind('error', 'Damaged files of records', _AGAIN),
    'empty_file': Kind('error', 'Files without a single byte', _AGAIN),
    'not_a_picture': Kind(
        'error',
        'Files that are no pictures, whatever they are called',
        'remove them; WebP, TIFF and the like: convert them to JPEG or PNG',
    ),
    'unreadable': Kind('error', 'Pictures that cannot be decoded', _AGAIN),
    'bomb': Kind(
        'error',
        'Pictures too large to be decoded here',
        'make them smaller, or remove them; training would decode them',
    ),
    'no_class': Kind(
        'error',
        'Pictures in no class',
        'move them into the folder of a class, or mend --label_pattern',
    ),
    'label_out_of_range': Kind(
        'error',
        'Labels without a class',
        'mend the records, labels.txt or --label_offset',
    ),
    'empty_class': Kind(
        'error',
        'Class folders without a picture',
        'fill or remove them; training would not know the class',
    ),
    'class_not_in_train': Kind(
        'error',
        'Classes that the training split does not have',
        'add pictures to train on, or remove the folder',
    ),
    'leak': Kind(
        'error',
        'The same picture in two splits',
        'remove it from one of them; the accuracy measured would be too good',
    ),
    'two_labels': Kind(
        'error',
        'The same picture in two classes',
        'find out which is right, and remove the other',
    ),
    'duplicate': Kind(
        'warning',
        'The same picture more than once in a split',
        'remove all but one, unless it is to count more',
    ),
    'missing_class': Kind(
        'warning',
        'Classes missing from a split',
        'split the data anew; metrics of the class cannot be had',
    ),
    'similar_names': Kind(
        'warning',
        'Names of classes that differ in case or spelling only',
        'give one name to what is one class',
    ),
    'imbalance': Kind(
        'warning',
        'Classes of very different sizes',
        'consider weights for the classes, and look at the metrics per class',
    ),
    'hidden_picture': Kind(
        'warning',
        'Pictures that training does not see because of their names',
        'name JPEG, PNG, GIF and BMP by what they are; convert the others',
    ),
    'orientation': Kind(
        'warning',
        'Photos that lie on their side or head (EXIF orientation)',
        'turn the pixels, for example with `exiftran -ai` or `mogrify -auto-orient`; '
        'EXIF is not read in training nor in serving',
    ),
    'blank': Kind('warning', 'Pictures of a single colour', 'remove them'),
    'tiny': Kind(
        'warning', 'Pictures much smaller than the network takes', 'look at them'
    ),
    'elongated': Kind(
        'warning',
        'Pictures more than four times as long as wide',
        'cut them; only the middle is seen in evaluation',
    ),
    'huge': Kind(
        'warning',
        'Pictures of more than 89 million pixels',
        'make them smaller; each takes hundreds of megabytes to decode',
    ),
    'large': Kind(
        'note',
        'Pictures far larger than the network takes',
        'make them smaller once, and decoding takes a fraction of the time',
    ),
    'wrong_extension': Kind(
        'note',
        'Pictures whose extension says something else than their content',
        'nothing, unless other programs read them; the content counts here',
    ),
    'animated': Kind('note', 'Animated pictures', 'nothing; the first frame counts'),
    'transparent': Kind(
        'note',
        'Pictures with transparency',
        'see what they look like without it: it is dropped',
    ),
    'cmyk': Kind('note', 'Pictures in CMYK', 'nothing; they become RGB'),
    'deep': Kind('note', 'Pictures of 16 bits a sample', 'nothing; they become 8-bit'),
    'ignored': Kind('note', 'What is not read', 'nothing, if it is not meant to be'),
}

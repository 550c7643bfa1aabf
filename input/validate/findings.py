"""What a check of a dataset can find: how bad each is, and what to do about it."""

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
    'layout': Kind(
        'error', 'Directories that cannot be told apart', 'rename or move them'
    ),
    'damaged_file': Kind('error', 'Damaged files of records', _AGAIN),
    'empty_file': Kind('error', 'Files without a single byte', _AGAIN),
    'not_a_image': Kind(
        'error',
        'Files that are no images, whatever they are called',
        'remove them; WebP, TIFF and the like: convert them to JPEG or PNG',
    ),
    'unreadable': Kind('error', 'Images that cannot be decoded', _AGAIN),
    'bomb': Kind(
        'error',
        'Images too large to be decoded here',
        'make them smaller, or remove them; training would decode them',
    ),
    'no_class': Kind(
        'error',
        'Images in no class',
        'move them into the directory of a class, or mend `label_pattern`',
    ),
    'label_out_of_range': Kind(
        'error',
        'Labels without a class',
        'mend the records, labels.txt or `label_offset`',
    ),
    'empty_class': Kind(
        'error',
        'Class directories without an image',
        'fill or remove them; training would not know the class',
    ),
    'class_not_in_train': Kind(
        'error',
        'Classes that the training split does not have',
        'add images to train on, or remove the directory',
    ),
    'leak': Kind(
        'error',
        'The same image in two splits',
        'remove it from one of them; the accuracy measured would be too good',
    ),
    'two_labels': Kind(
        'error',
        'The same image in two classes',
        'find out which is right, and remove the other',
    ),
    'duplicate': Kind(
        'warning',
        'The same image more than once in a split',
        'remove all but one, unless it is to count more',
    ),
    'missing_class': Kind(
        'warning',
        'Classes missing from a split',
        'split the data again; metrics of the class cannot be had',
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
    'hidden_image': Kind(
        'warning',
        'Images that training does not see because of their names',
        'name JPEG, PNG, GIF and BMP by what they are; convert the others',
    ),
    'orientation': Kind(
        'warning',
        'Photos that lie on their side or head (EXIF orientation)',
        'turn the pixels, for example with `exiftran -ai` or `mogrify -auto-orient`; '
        'EXIF is not read in training nor in serving',
    ),
    'blank': Kind('warning', 'Images of a single color', 'remove them'),
    'tiny': Kind(
        'warning', 'Images much smaller than the network takes', 'look at them'
    ),
    'elongated': Kind(
        'warning',
        'Images more than four times as long as wide',
        'cut them; only the middle is seen in evaluation',
    ),
    'huge': Kind(
        'warning',
        'Images of more than 89 million pixels',
        'make them smaller; each takes hundreds of megabytes to decode',
    ),
    'large': Kind(
        'note',
        'Images far larger than the network takes',
        'make them smaller once, and decoding takes a fraction of the time',
    ),
    'wrong_extension': Kind(
        'note',
        'Images whose extension says something else than their content',
        'nothing, unless other programs read them; the content counts here',
    ),
    'animated': Kind('note', 'Animated images', 'nothing; the first frame counts'),
    'transparent': Kind(
        'note',
        'Images with transparency',
        'see what they look like without it: it is dropped',
    ),
    'cmyk': Kind('note', 'Images in CMYK', 'nothing; they become RGB'),
    'deep': Kind('note', 'Images of 16 bits a sample', 'nothing; they become 8-bit'),
    'ignored': Kind('note', 'What is not read', 'nothing, if it is not meant to be'),
}

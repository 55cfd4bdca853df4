// SPDX-License-Identifier: Apache-2.0

package upload_test

import "testing"

// What holds of uploads holds where parts have a least size.
func TestGathered(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"BodyWithAnErrorForTheClient":      TestBodyWithAnErrorForTheClient,
		"BrokenFinish":                     TestBrokenFinish,
		"BrokenPush":                       TestBrokenPush,
		"BrokenWrite":                      TestBrokenWrite,
		"BrokenWriteOfADeadRequest":        TestBrokenWriteOfADeadRequest,
		"BytesThatAreGone":                 TestBytesThatAreGone,
		"Cancel":                           TestCancel,
		"CanceledWrite":                    TestCanceledWrite,
		"EndOfLessThanWasCompleted":        TestEndOfLessThanWasCompleted,
		"EndedUploadStaysClosed":           TestEndedUploadStaysClosed,
		"EveryCrash":                       TestEveryCrash,
		"FinishAfterComplete":              TestFinishAfterComplete,
		"FinishAgain":                      TestFinishAgain,
		"FinishOfNothing":                  TestFinishOfNothing,
		"FullStore":                        TestFullStore,
		"ManyChunks":                       TestManyChunks,
		"ManyChunksForOnePlace":            TestManyChunksForOnePlace,
		"ManyUploadersAtOnce":              TestManyUploadersAtOnce,
		"MaxBlob":                          TestMaxBlob,
		"Offsets":                          TestOffsets,
		"OneBlobTwiceAtOnce":               TestOneBlobTwiceAtOnce,
		"OvertakenBeforeItsFirstByte":      TestOvertakenBeforeItsFirstByte,
		"RepeatedRequestOvertakesTheFirst": TestRepeatedRequestOvertakesTheFirst,
		"RequestSleepsBeforeItsPut":        TestRequestSleepsBeforeItsPut,
		"Room":                             TestRoom,
		"Sizes":                            TestSizes,
		"SlowBody":                         TestSlowBody,
		"SlowSmallBody":                    TestSlowSmallBody,
		"TwoEndsOfDifferentLength":         TestTwoEndsOfDifferentLength,
		"UnreadableHashState":              TestUnreadableHashState,
		"TwoRequestsMeet":                  TestTwoRequestsMeet,
		"Ways":                             TestWays,
		"WrongDigest":                      TestWrongDigest,
		"WrongDigestEndsTheUpload":         TestWrongDigestEndsTheUpload,
	} {
		t.Run(name, test)
	}
}
